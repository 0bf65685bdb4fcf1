return (...).part("lib/tables").nkeys
