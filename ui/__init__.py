"""The dashboard: a Streamlit app that talks gRPC to the service, and nothing more."""
