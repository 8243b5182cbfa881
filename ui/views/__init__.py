"""The pages: everything that draws with Streamlit."""
