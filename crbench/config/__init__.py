"""What a user asks for, from options, TOML and ``--set``; and the folders that crbench uses."""
