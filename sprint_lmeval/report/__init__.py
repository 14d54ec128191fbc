"""What harness results say when runs are compared: tables, figures and a page. No torch, no transformers."""
