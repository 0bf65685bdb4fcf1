# Read by LuaJIT's make before its own makefile: a rule of ours goes before a pattern of its.
lj_record.o: $(dir $(lastword $(MAKEFILE_LIST)))record.c lj_record.c
	$(TARGET_CC) $(TARGET_ACFLAGS) $(RECORD_FLAGS) -I. -c -o $@ $<
