-- Who answers, and whom. Its test sends a name with each request, and not everybody does.
return {
  request = function(req)
    local user = req.headers["x-user"]:upper()
    return { status = 200, body = "hello " .. user .. " from " .. gateway.config.node .. "\n" }
  end,
}
