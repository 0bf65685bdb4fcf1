/* LuaJIT's recorder of traces: at the head of each, and so in each turn of a loop, there is a place
** where compiled code can be left for the interpreter. asm.c says what becomes of it.
**
** It stands for LUAJIT_ENABLE_CHECKHOOK, whose traces look for a hook there, every time.
*/

#define lj_record_c
#define LUA_CORE

#define lj_record_setup record_setup
#include "lj_record.c"
#undef lj_record_setup

#if LJ_HASJIT

void lj_record_setup(jit_State *J)
{
  record_setup(J);
#ifndef RECORD_UNCHECKED /* to count what it costs: tests/bench/checkhook */
  if (J->state != LJ_TRACE_END) {
    lj_ir_set(J, IRTG(IR_PROF, IRT_NIL), 0, 0);
    lj_opt_fold(J);
  }
#endif
}

#endif
