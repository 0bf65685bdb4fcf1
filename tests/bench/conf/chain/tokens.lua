-- What the load sends, and what checks it. The tokens hold until 2100; the private key is gone.
return {
  hs256 = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImF1ZCI6InNob3AiLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoicmVhZCB3cml0ZSJ9.zsSXSDYAxS7FgZl8cbhMx7Ubk1Satm83V3MaC_dDuYw",
  es256 = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImF1ZCI6InNob3AiLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoicmVhZCB3cml0ZSJ9.-TNO3VY8W9aiqDM_2JvRyB3bOtquY_95OY1IsMKsdhn9K2LJswpL0CBSxUUXV9kB7dwwD81vJfcfsJqwEo7zMg",
  secret = "bench-secret-of-32-bytes-and-more",
  public = [[
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbHuRzpc3UNjx7hjPI4db5HrPwktd
wFy5uyuVo17q1KQuAwferrG7vsPH/+o/Le3uqzkLFIKmDAgBZlrSmv9CiA==
-----END PUBLIC KEY-----
]],
}
