return (...).part("lib/tables").clone
