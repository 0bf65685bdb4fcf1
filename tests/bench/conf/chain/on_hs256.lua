local jwt = require "jwt" return jwt.check("HS256", "http_x_hs", jwt.hs256)
