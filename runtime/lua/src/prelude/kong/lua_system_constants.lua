-- lua_system_constants: numbers of system calls, as Linux has them.
local _, dialect = ...

-- Kong's core declares the calls themselves, and its plugins count on it.
if dialect.ffi then
  dialect.ffi.cdef [[
    int open(const char *filename, int flags, ...);
    int close(int fd);
    int write(int fd, const void *ptr, int numbytes);
    char *strerror(int errnum);
  ]]
end

local constants = {
  O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 64, O_EXCL = 128, O_TRUNC = 512, O_APPEND = 1024,
  O_NONBLOCK = 2048,
  S_IRWXU = 448, S_IRUSR = 256, S_IWUSR = 128, S_IXUSR = 64,
  S_IRWXG = 56, S_IRGRP = 32, S_IWGRP = 16, S_IXGRP = 8,
  S_IRWXO = 7, S_IROTH = 4, S_IWOTH = 2, S_IXOTH = 1,
}

local functions = {}
for name, value in pairs(constants) do
  functions[name] = function() return value end
end
return functions
