"""The visual language of a report: figures from values, and the report as one HTML file.

Knows no Streamlit: the dashboard and the command line draw the same figures from here.
"""
