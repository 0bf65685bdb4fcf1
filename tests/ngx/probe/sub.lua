-- Answers a subrequest with what it got.
ngx.req.read_body()
ngx.header["X-Sub"] = "yes"
ngx.status = 201
ngx.print(ngx.req.get_method(), " ", ngx.var.args, " ", ngx.req.get_body_data() or "", " ",
  ngx.ctx.c or "", " ", ngx.var.mine)
