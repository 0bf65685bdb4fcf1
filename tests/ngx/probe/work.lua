-- A module that checks require.
return { add = function(a, b) return a + b end }
