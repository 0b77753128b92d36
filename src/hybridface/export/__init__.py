"""Files for use: a finished run as ONNX, or a file of ours in another precision."""
