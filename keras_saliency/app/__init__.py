"""Programs built on the library: the command line, the demo, HTML reports and animations."""
