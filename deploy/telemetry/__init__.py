"""The dashboard and the alert rules: definitions, the script that writes the files, and a demo that fills them."""
