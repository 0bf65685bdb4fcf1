-- A module that checks require.
return {}
