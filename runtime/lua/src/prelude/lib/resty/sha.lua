-- Required by the modules of single hashes; nothing is in it.
return { _VERSION = "0.17" }
