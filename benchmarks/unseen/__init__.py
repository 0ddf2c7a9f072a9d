"""Do the alerts behave on image sets that their rules were not chosen on? See README.md here."""
