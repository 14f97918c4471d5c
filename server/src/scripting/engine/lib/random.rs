//! `math.random`: the generator of `drand48`, so that a seed gives the same numbers everywhere.

use super::number_arg;
use crate::scripting::engine::raise::{bad_argument, fault, truncated};
use mlua::{Function, Lua, MultiValue};
use std::cell::Cell;
use std::rc::Rc;

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// Low 16 bits of a fresh seed.
const SEED_LOW: u64 = 0x330E;
/// Numbers that are drawn from.
const RANGE: u64 = 0x7FFF_FFFF;

/// 48 bits of state.
#[derive(Debug)]
struct Random(Cell<u64>);

impl Random {
    fn seed(&self, seed: u64) {
        self.0.set(((seed & 0xFFFF_FFFF) << 16) | SEED_LOW);
    }

    /// 31 bits.
    fn next(&self) -> u64 {
        let next = self.0.get().wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        self.0.set(next);
        next >> 17
    }

    /// From 0 up to 1.
    #[expect(clippy::cast_precision_loss, reason = "31 bits")]
    fn unit(&self) -> f64 {
        (self.next() % RANGE) as f64 / RANGE as f64
    }
}

/// `random` and `randomseed`.
pub(in crate::scripting::engine) fn functions(lua: &Lua) -> mlua::Result<(Function, Function)> {
    let random = Rc::new(Random(Cell::new(0)));
    random.seed(u64::from(ahash::RandomState::new().hash_one(0_u8) as u32));
    let state = Rc::clone(&random);
    let draw = lua.create_function(move |lua, args: MultiValue| draw(lua, &state, &args))?;
    let seed = lua.create_function(move |lua, args: MultiValue| {
        let seed = truncated(number_arg(lua, &args, 1)?);
        random.seed(u64::from_ne_bytes(seed.to_ne_bytes()));
        Ok(())
    })?;
    Ok((draw, seed))
}

#[expect(clippy::cast_precision_loss, reason = "the arguments are C's int")]
fn draw(lua: &Lua, random: &Random, args: &MultiValue) -> mlua::Result<f64> {
    let unit = random.unit();
    let int = |n: usize| Ok::<i32, mlua::Error>(truncated(number_arg(lua, args, n)?) as i32);
    let (low, high) = match args.len() {
        0 => return Ok(unit),
        1 => (1, int(1)?),
        2 => (int(1)?, int(2)?),
        _ => return Err(fault(lua, "wrong number of arguments")),
    };
    if low > high {
        return Err(bad_argument(lua, args.len(), "interval is empty"));
    }
    let width = i64::from(high) - i64::from(low) + 1;
    Ok((unit * width as f64).floor() + f64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_lrand48() {
        let random = Random(Cell::new(0));
        random.seed(0);
        // What POSIX's lrand48 gives after srand48(0).
        let first: Vec<u64> = (0..4).map(|_| random.next()).collect();
        assert_eq!(first, [366_850_414, 1_610_402_240, 206_956_554, 1_869_309_841]);
        random.seed(10);
        let again = random.next();
        random.seed(10);
        assert_eq!(random.next(), again);
    }
}
