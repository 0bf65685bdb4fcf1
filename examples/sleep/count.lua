local visits = gateway.shared("visits")

return {
  response = function(res)
    res.headers["x-visits"] = tostring(visits:incr("all", 1, 0))
  end,
}
