"""The papers' tables and figures, each as one function that the command line calls."""
