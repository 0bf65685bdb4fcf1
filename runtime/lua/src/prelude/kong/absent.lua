-- A library that is not here: whoever loads it may go on, whoever uses it is told.
local name = ...

local function absent() error("module '" .. name .. "' is not on [lua] path", 2) end

return (setmetatable({}, { __index = absent, __call = absent }))
