/* LuaJIT's assembler of traces, with ways out of compiled code that cost nothing until they are taken.
**
** Scripts that run too long are stopped by a hook (runtime/lua/src/watchdog.rs), which compiled code
** does not look for. Each trace has places where it can be left instead (record.c): to LuaJIT's
** optimizer they are guards, so all that the interpreter needs to go on is known there, but they emit
** no instruction. To stop what runs, branches to those guards' exits are written over what is there,
** by the thread that runs it, in a signal handler; and what was there is put back before it goes on.
**
**   arm     one instruction, as all are as long
**   x86     one byte, the shortest instruction: a trap, whose handler goes to the exit
*/

#define lj_asm_c
#define LUA_CORE

#include "lj_obj.h"
#include "lj_ir.h"

static void asm_way_out(void *as, IRIns *ir);

/* A guard for LuaJIT's profiler, which has none here, becomes a way out: `asm_prof(ASMState *as, ...)`,
** where it is defined, gets another name, `asm_prof(as, ...)`, where it is called, calls ours.
*/
#define asm_prof(as, ir) of_##as, ir)
#define of_ASMState __attribute__((unused)) asm_prof_guard(ASMState
#define of_as asm_way_out(as
#define lj_asm_trace asm_trace
#include "lj_asm.c"
#undef lj_asm_trace

#if LJ_HASJIT

#include <sys/mman.h>

#include "lj_dispatch.h"
#include "lj_trace.h"

/* What is written over the code at a way out. */
#if LJ_TARGET_X86ORX64

typedef uint8_t Word;

static Word branch(MCode *at, MCode *to)
{
  UNUSED(at); UNUSED(to);
  return XI_INT3;
}

#define exit_of(J, T, exitno) ((void)(T), exitstub_addr(J, exitno))
#define is_memory_op(ins) 0

#elif LJ_TARGET_ARM64

typedef uint32_t Word;

static Word branch(MCode *at, MCode *to)
{
  return A64I_LE(A64I_B | A64F_S26(to - at));
}

#define exit_of(J, T, exitno) ((void)(J), exitstub_trace_addr(T, exitno))
#define is_memory_op(ins) ((A64I_LE(ins) & 0x0a000000u) == 0x08000000u)
#define NOP A64I_LE(A64I_NOP)

#elif LJ_TARGET_ARM

typedef uint32_t Word;

static Word branch(MCode *at, MCode *to)
{
  return ARMI_BL | ((uint32_t)(to - at - 2) & 0x00ffffffu);
}

#define exit_of(J, T, exitno) ((void)(T), exitstub_addr(J, exitno))
#define is_memory_op(ins) ((ins & 0x0c000000u) == 0x04000000u || (ins & 0x0e000090u) == 0x00000090u)
#define NOP ARMI_NOP

#else
#error "no ways out of compiled code on this architecture"
#endif

/* A way out in its instruction: the exit in the lower bits of the first operand; the place, as 16 bits of
** its address, more than a trace is long, in the second and in the upper bits of the first. Both operands
** look as constants do, to whom the assembler asks twice.
*/
#define EXIT_BITS 14
#define LOW_BITS 15

static uint16_t low_bits(MCode *p)
{
  return (uint16_t)((uintptr_t)p / sizeof(MCode));
}

/* Here is a way out. What comes before may not be made one instruction with what comes behind. */
static void asm_way_out(void *state, IRIns *ir)
{
  ASMState *as = state;
  as->flagmcp = NULL;
#ifdef NOP
  if (is_memory_op(*as->mcp)) *--as->mcp = NOP;
#endif
  ir->op1 = (IRRef1)(as->snapno | (low_bits(as->mcp) >> LOW_BITS) << EXIT_BITS);
  ir->op2 = low_bits(as->mcp) & ((1 << LOW_BITS) - 1);
}

static MCode *place_of(GCtrace *T, IRIns *ir)
{
  uint16_t low = (uint16_t)(ir->op2 | (ir->op1 >> EXIT_BITS) << LOW_BITS);
  return T->mcode + (uint16_t)(low - low_bits(T->mcode));
}

static ExitNo exitno_of(IRIns *ir)
{
  return ir->op1 & ((1 << EXIT_BITS) - 1);
}

/* None is made while ways out are open: it would link to code that is not as it was. */
void lj_asm_trace(jit_State *J, GCtrace *T)
{
  if (!(J->flags & JIT_F_ON)) lj_trace_err(J, LJ_TRERR_RECERR);
  asm_trace(J, T);
}

/* -- Opening and closing the ways out ------------------------------------ */

typedef struct WayOut {
  MCode *at;
  MCode *to;
  Word was;
} WayOut;

typedef struct WaysOut {
  size_t size; /* of this, in bytes */
  uint32_t on; /* whether traces were made */
  uint32_t count;
  WayOut all[];
} WaysOut;

static Word word_at(MCode *p)
{
  Word word;
  memcpy(&word, p, sizeof(word));
  return word;
}

static void put(MCode *p, Word word)
{
  memcpy(p, &word, sizeof(word));
  lj_mcode_sync(p, (char *)p + sizeof(word));
}

static int protect(jit_State *J, int protection)
{
  MCode *area;
  for (area = J->mcarea; area; area = ((MCLink *)area)->next)
    if (mprotect(area, ((MCLink *)area)->size, protection)) return 0;
  return 1;
}

/* Code may be written, if the system lets it be. */
static int begin_writing(jit_State *J)
{
  return protect(J, PROT_READ|PROT_WRITE);
}

static void end_writing(jit_State *J)
{
  if (!protect(J, PROT_READ|PROT_EXEC)) abort();
}

static int is_in_area(jit_State *J, MCode *p)
{
  MCode *area;
  for (area = J->mcarea; area; area = ((MCLink *)area)->next)
    if ((uintptr_t)p - (uintptr_t)area < ((MCLink *)area)->size) return 1;
  return 0;
}

/* Is nobody at work on traces, in whose midst a signal may come? Compiled code runs, or what it calls,
** or what may go on there without the interpreter, as C between two traces.
*/
static int traces_rest(jit_State *J)
{
  int32_t state = J2G(J)->vmstate;
  if (state >= 0 || state == ~LJ_VMST_GC) return 1;
  return (state == ~LJ_VMST_C || state == ~LJ_VMST_INTERP) && J->state == LJ_TRACE_IDLE;
}

/* A trace that can run, NULL for none. Where recording was interrupted its number may stay taken. */
static GCtrace *finished_trace(jit_State *J, TraceNo traceno)
{
  GCtrace *T = traceref(J, traceno);
  return T != &J->cur ? T : NULL;
}

/* A trace's ways out after one, 0 for the first. */
static IRRef next_way_out(GCtrace *T, IRRef ref)
{
  for (ref = ref ? ref + 1 : REF_FIRST; ref < T->nins; ref++)
    if (T->ir[ref].o == IR_PROF) return ref;
  return 0;
}

/* Makes compiled code under way on this thread go on in the interpreter, within one turn of its loop.
** Safe in a signal handler. What it returns is for pl_close_ways_out; NULL: not now.
*/
void *pl_open_ways_out(lua_State *L)
{
  jit_State *J = L2J(L);
  WaysOut *ways;
  GCtrace *T;
  TraceNo i;
  IRRef ref;
  size_t size = sizeof(WaysOut);
  if (!traces_rest(J))
    return NULL;
  for (i = 1; i < J->sizetrace; i++)
    if ((T = finished_trace(J, i)))
      for (ref = 0; (ref = next_way_out(T, ref)); ) size += sizeof(WayOut);
  ways = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
  if (ways == MAP_FAILED)
    return NULL;
  if (!begin_writing(J)) {
    end_writing(J);
    munmap(ways, size);
    return NULL;
  }
  ways->size = size;
  for (i = 1; i < J->sizetrace; i++)
    if ((T = finished_trace(J, i)))
      for (ref = 0; (ref = next_way_out(T, ref)); ) {
	WayOut *way = &ways->all[ways->count++];
	way->at = place_of(T, &T->ir[ref]);
	way->to = exit_of(J, T, exitno_of(&T->ir[ref]));
	way->was = word_at(way->at);
	put(way->at, branch(way->at, way->to));
      }
  end_writing(J);
  ways->on = J->flags & JIT_F_ON;
  J->flags &= ~JIT_F_ON;
  return ways;
}

/* Closes them again: those that are left, if traces were flushed since. */
void pl_close_ways_out(lua_State *L, void *opened)
{
  jit_State *J = L2J(L);
  WaysOut *ways = opened;
  if (!begin_writing(J)) abort();
  while (ways->count) {
    WayOut *way = &ways->all[--ways->count];
    if (is_in_area(J, way->at) && word_at(way->at) == branch(way->at, way->to))
      put(way->at, way->was);
  }
  end_writing(J);
  J->flags |= ways->on;
  lj_dispatch_update(J2G(J), 0);
  munmap(ways, ways->size);
}

/* Where a trap goes on that stands at a way out, NULL for another's. */
void *pl_way_out_at(void *opened, void *at)
{
  WaysOut *ways = opened;
  size_t i;
  for (i = 0; i < ways->count; i++)
    if (ways->all[i].at == at) return ways->all[i].to;
  return NULL;
}

#endif
