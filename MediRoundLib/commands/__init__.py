"""The subcommands of `mediround`, a module each."""
