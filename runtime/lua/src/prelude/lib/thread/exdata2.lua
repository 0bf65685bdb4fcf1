return (...).part("lib/exdata")()
