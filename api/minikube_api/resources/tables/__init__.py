"""The server-side Table: which columns a kind has and what their cells say, exactly as kube-apiserver prints them."""
