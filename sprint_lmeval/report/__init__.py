"""What harness results say when runs are compared: tables, figures, a page, a gate. No torch, no transformers."""
