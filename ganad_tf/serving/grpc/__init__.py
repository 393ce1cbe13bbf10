"""The gRPC server: `server.py` serves TensorFlow Serving's methods, `messages.py` converts their messages."""
