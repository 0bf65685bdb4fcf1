//! The one configuration that the compiler and the runtime share: a compiled module records it,
//! and loads nowhere else.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
    Result,
};

/// Raise it with any change to [`engine_config`] and to how modules are reshaped and what they expose: compiled modules of before are made again.
pub(crate) const CONFIG: &str = "pilotlight-4+wasmtime-48.0.8";

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

/// Slots of a pool, at best and when address space is short.
const SLOTS: [u32; 2] = [64, 16];
/// Bytes of a slot's table that are cleaned by hand rather than given back to the system. Of its memory none are: it
/// begins with the far end of the stack, as Rust and C++ lay it out, which nobody has touched. `pagemap_scan` finds
/// what was written wherever it is, and takes 8 µs off an instance; but it passes over pages that are swapped out or on
/// the move at that moment (wasmtime 48), and what one exchange has left there another would see.
const KEEP: usize = 64 << 10;

/// A pool of slots for instances that serve one exchange, and what fits a slot.
pub(crate) struct Shape {
    /// Bytes that its memories may grow to, each.
    pub(crate) memory: u64,
    pub(crate) memories: u32,
    pub(crate) tables: u32,
    /// Core instances: a component is a handful of them, most of them glue.
    cores: u32,
    /// They run on fibers.
    fibers: bool,
}

/// For filters.
pub(crate) const FILTERS: Shape = Shape {
    memory: pilotlight_abi::limit::WASM_FILTER_MEMORY,
    memories: 1,
    tables: 1,
    cores: 1,
    fibers: false,
};
/// For applications. A small exchange takes 330 µs rather than 395 (a build for tests): no memory and no
/// stack are mapped for it.
#[cfg(feature = "components")]
pub(crate) const APPLICATIONS: Shape = Shape {
    memory: pilotlight_abi::limit::WASM_APP_MEMORY,
    memories: 2,
    tables: 4,
    cores: 16,
    fibers: true,
};

/// An engine whose instances have slots that are cleaned and used again; and these. `None` where
/// there is no address space for them.
pub(crate) fn fleeting(shape: &Shape) -> Option<(Engine, u32)> {
    SLOTS.into_iter().find_map(|slots| {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(slots * shape.cores)
            .total_memories(slots * shape.memories)
            .total_tables(slots * shape.tables)
            .total_stacks(if shape.fibers { slots } else { 1 })
            .max_memory_size(shape.memory as usize)
            .table_elements(SLOT_TABLE)
            .max_memories_per_module(1)
            .max_tables_per_module(shape.tables)
            .max_unused_warm_slots(8)
            .table_keep_resident(KEEP);
        #[cfg(feature = "components")]
        pool.total_component_instances(slots)
            .max_core_instances_per_component(shape.cores)
            .max_memories_per_component(shape.memories)
            .max_tables_per_component(shape.tables);
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
