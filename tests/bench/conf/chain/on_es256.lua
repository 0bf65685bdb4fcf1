local jwt = require "jwt" return jwt.check("ES256", "http_x_es", jwt.es256)
