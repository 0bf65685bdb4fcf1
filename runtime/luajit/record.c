/* LuaJIT's recorder of traces, with a look at hooks in what can go round for long.
**
** Scripts that run too long are stopped by a hook (runtime/lua/src/watchdog.rs), which compiled code
** does not see but with LUAJIT_ENABLE_CHECKHOOK: each trace begins with a look then, and a
** loop has it in each turn. Ours lose it again where they end so that whatever goes round has another:
**
**   a loop of a few quick turns   what is around it looks: its side traces keep theirs
**   a side trace that leads on    all ways round pass its root, or another one, which looks
*/

#ifndef RECORD_UNCHECKED /* to count what looks cost: tests/bench/checkhook */
#define LUAJIT_ENABLE_CHECKHOOK
#endif

#define lj_record_c
#define LUA_CORE

#include "lj_obj.h"
#include "lj_jit.h"
#include "lj_trace.h"

#if LJ_HASJIT && defined(LUAJIT_ENABLE_CHECKHOOK)

#include "lj_ir.h"
#include "lj_iropt.h"

/* Turns that a loop may make without a look. */
#define FEW_TURNS 256

/* The instructions of a look: load, mask, compare. */
#define LOOK_LENGTH 3

/* Where a trace looks, 0 for nowhere. */
static IRRef find_look(jit_State *J, IRIns *ir, IRRef end)
{
  IRRef ref;
  for (ref = REF_FIRST; ref < end; ref++) {
    IRIns *at = &ir[ir[ref].op1];
    if (ir[ref].o == IR_XLOAD && at->o == IR_KPTR && ir_kptr(at) == (void *)&J2G(J)->hookmask)
      return ref;
  }
  return 0;
}

/* May it take long by itself: does it call, allocate, search? */
static int takes_long(IROp o)
{
  return o == IR_HREF || o == IR_NEWREF || (o >= IR_SNEW && o <= IR_BUFSTR) ||
    (o >= IR_TOSTR && o <= IR_CALLXS);
}

/* Is the trace a short loop: a `for` whose first, last and step are constants, a few turns apart? */
static int is_short_loop(jit_State *J)
{
  const IRIns *ir = J->cur.ir, *start = &ir[J->scev.start], *stop = &ir[J->scev.stop],
    *step = &ir[J->scev.step];
  int64_t way;
  IRRef ref;
  if (!mref(J->scev.pc, void) || !J->scev.start)
    return 0;
  if (start->o != IR_KINT || stop->o != IR_KINT || step->o != IR_KINT || step->i == 0)
    return 0;
  way = (int64_t)stop->i - start->i;
  if (way / step->i >= FEW_TURNS)
    return 0;
  for (ref = REF_FIRST; ref < J->cur.nins; ref++)
    if (takes_long(ir[ref].o))
      return 0;
  return 1;
}

/* Must a trace that goes on to this one look? */
static int must_look(jit_State *J, TraceNo link)
{
  GCtrace *root = J->cur.root ? traceref(J, J->cur.root) : NULL;
  if (link == J->cur.traceno)
    return J->framedepth + J->retdepth != 0 || !is_short_loop(J);
  return !root || !find_look(J, root->ir, root->nins);
}

static void drop(jit_State *J, IRRef ref)
{
  IRIns *ir = &J->cur.ir[ref];
  IRRef1 *at = &J->chain[ir->o];
  while (*at > ref) at = &J->cur.ir[*at].prev;
  *at = ir->prev;
  lj_ir_nop(ir);
}

/* Recording ends, perhaps not for the last time: a loop that can't be made one is recorded further. */
static void settle_look(jit_State *J, TraceNo link)
{
  IRRef i, look = find_look(J, J->cur.ir, J->cur.nins);
  if (!must_look(J, link)) {
    for (i = 0; look && i < LOOK_LENGTH; i++) drop(J, look + i);
  } else if (link && !look) {
    lj_trace_err(J, LJ_TRERR_LLEAVE);
  }
}

#undef lj_trace_end
#define lj_trace_end(J) (settle_look(J, lnk), J->state = LJ_TRACE_END)

#endif

#include "lj_record.c"
