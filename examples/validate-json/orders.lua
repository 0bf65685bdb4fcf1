-- What lies behind the filter: it may take what it gets for granted.
return function(req)
  local order = req:json()
  return { status = 201, body = #order.seats .. " seats for " .. order.name .. "\n" }
end
