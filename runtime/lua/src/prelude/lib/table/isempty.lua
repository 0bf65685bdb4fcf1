return (...).part("lib/tables").isempty
