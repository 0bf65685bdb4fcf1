//! The one configuration that the compiler and the runtime share: a compiled module records it,
//! and loads nowhere else.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
    Result,
};

/// Raise it with any change to [`engine_config`]: compiled modules of before are made again.
pub(crate) const CONFIG: &str = "pilotlight-1+wasmtime-48.0.8";

/// Elements of a table, at most: what Go makes of a firewall has 12,403.
pub(crate) const TABLE_ELEMENTS: usize = 16_384;
/// The same in a slot of the pool; a module with more has no slot.
const SLOT_TABLE: usize = 10_000;
/// Bytes of stack that a module may use.
const STACK: usize = 512 << 10;

/// What the code of this build is for, where it is not this machine itself: wasmtime's interpreter.
const INTERPRETER: Option<&str> = match (cfg!(feature = "pulley"), usize::BITS) {
    (false, _) => None,
    (true, 32) => Some("pulley32"),
    (true, _) => Some("pulley64"),
};
/// The same, as the cache tells machines apart.
pub(crate) const MACHINE: &str = match INTERPRETER {
    Some(interpreter) => interpreter,
    None => std::env::consts::ARCH,
};

/// What this build runs, as `pilotlight compile --target` names it.
pub(crate) const TARGET: &str = match INTERPRETER {
    Some(interpreter) => interpreter,
    None if cfg!(target_arch = "aarch64") => "aarch64-unknown-linux-gnu",
    None => "x86_64-unknown-linux-gnu",
};

/// What every compiled module assumes: interruption by epoch; on 64 bits room instead of bounds checks. It
/// is for `target` (a triple), or for what this build runs.
pub(crate) fn engine_config(target: Option<&str>) -> Result<Config> {
    let mut config = Config::new();
    let wide = match target.or(INTERPRETER) {
        Some(target) => {
            config.target(target)?;
            !target.starts_with("pulley32")
        }
        None => usize::BITS == 64,
    };
    if wide {
        config.memory_reservation(4 << 30).memory_guard_size(32 << 20);
    }
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .memory_init_cow(true)
        .native_unwind_info(false)
        .generate_address_map(false)
        .wasm_simd(true)
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .module_version(ModuleVersionStrategy::Custom(CONFIG.to_owned()))?;
    config.async_stack_size(2 * STACK);
    Ok(config)
}

/// For instances that live long, or run on fibers: each has its own mapping, any number fits.
pub(crate) fn lasting() -> Result<Config> {
    let mut config = engine_config(None)?;
    without_compiler(&mut config);
    Ok(config)
}

/// Slots of the pool, at best and when address space is short.
const SLOTS: [u32; 2] = [64, 16];
/// Bytes that a slot's memory may grow to.
pub(crate) const SLOT_MEMORY: u64 = pilotlight_abi::limit::WASM_FILTER_MEMORY;
/// Bytes of a slot that are cleaned by hand rather than given back to the system.
const KEEP: usize = 64 << 10;

/// For instances that serve one exchange: slots that are cleaned and used again. Gives the engine
/// and its slots; `None` where there is no address space for them.
pub(crate) fn fleeting() -> Option<(Engine, u32)> {
    SLOTS.into_iter().find_map(|slots| {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(slots)
            .total_memories(slots)
            .total_tables(slots)
            .total_stacks(1)
            .max_memory_size(SLOT_MEMORY as usize)
            .table_elements(SLOT_TABLE)
            .max_tables_per_module(1)
            .max_unused_warm_slots(8)
            .linear_memory_keep_resident(KEEP)
            .table_keep_resident(KEEP);
        let mut config = lasting().ok()?;
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Some((Engine::new(&config).ok()?, slots))
    })
}

fn without_compiler(config: &mut Config) {
    #[cfg(feature = "compile")]
    config.enable_compiler(false);
    #[cfg(not(feature = "compile"))]
    let _ = config;
}
