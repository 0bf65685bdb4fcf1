-- Where ngx.exec goes: tells what came along.
ngx.status = 418
ngx.print(ngx.var.uri, " ", ngx.var.args, " ", ngx.ctx.gone)
