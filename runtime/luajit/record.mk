# Read by LuaJIT's make before its own makefile: rules of ours go before a pattern of its.
pl_folder := $(dir $(lastword $(MAKEFILE_LIST)))
lj_record.o: $(pl_folder)record.c lj_record.c
	$(TARGET_CC) $(TARGET_ACFLAGS) $(RECORD_FLAGS) -I. -c -o $@ $<
lj_asm.o: $(pl_folder)asm.c lj_asm.c
	$(TARGET_CC) $(TARGET_ACFLAGS) -I. -c -o $@ $<
