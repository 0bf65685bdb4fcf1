-- kong.tools.gzip
local _, dialect = ...

return { deflate_gzip = dialect.gzip, inflate_gzip = dialect.gunzip }
