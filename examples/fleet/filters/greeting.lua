-- Who answers.
return {
  request = function()
    return { status = 200, body = "hello from " .. gateway.config.node .. "\n" }
  end,
}
