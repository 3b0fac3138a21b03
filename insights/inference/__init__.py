"""Generation: llama.cpp batched in a child process and constrained, or a remote server."""
