return (...).part("lib/tables").isarray
