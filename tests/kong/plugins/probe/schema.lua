local typedefs = require "kong.db.schema.typedefs"

return {
  name = "probe",
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    { config = {
      type = "record",
      fields = {
        { checks = {
          type = "array",
          elements = {
            type = "record",
            fields = {
              { phase = { type = "string", required = true } },
              { code = { type = "string", required = true } },
            },
          },
        } },
      },
    } },
  },
}
