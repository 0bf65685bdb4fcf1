return (...).part("lib/hashes")("sha512")
