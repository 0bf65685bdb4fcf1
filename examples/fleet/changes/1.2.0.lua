-- Who answers, and whom.
return {
  request = function(req)
    local user = (req.headers["x-user"] or "whoever you are"):upper()
    return { status = 200, body = "hello " .. user .. " from " .. gateway.config.node .. "\n" }
  end,
}
