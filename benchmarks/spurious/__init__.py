"""Do the alerts catch a shortcut, and do they keep quiet without one? See README.md here."""
