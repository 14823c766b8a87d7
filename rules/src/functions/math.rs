//! Functions of floats: roots, logarithms, angles.

use super::number::{as_float, float};
use super::{Function, NUMBER, param, pure};
use crate::error::Trouble;
use crate::value_type::Type;

const ANGLE: super::Param = param("angle", Type::NUMBER);

/// A row for a function of one float that gives a float.
macro_rules! of_float {
    ($name:literal, $param:expr, $apply:expr, $about:literal) => {
        pure($name, &[$param], Type::FLOAT, $about, |args| as_float($name, &args[0], $apply))
    };
}

pub(super) const TABLE: &[Function] = &[
    of_float!("sqrt", NUMBER, f64::sqrt, "The square root: sqrt(4) is 2.0."),
    of_float!("exp", NUMBER, f64::exp, "e to this power: exp(0) is 1.0."),
    of_float!("log", NUMBER, above_zero(f64::ln), "The logarithm to the base e: log(1) is 0.0."),
    of_float!("log10", NUMBER, above_zero(f64::log10), "The logarithm to the base 10: log10(1000) is 3.0."),
    of_float!("log2", NUMBER, above_zero(f64::log2), "The logarithm to the base 2: log2(8) is 3.0."),
    of_float!("sin", ANGLE, f64::sin, "The sine of an angle in radians: sin(0) is 0.0."),
    of_float!("cos", ANGLE, f64::cos, "The cosine of an angle in radians: cos(0) is 1.0."),
    of_float!("tan", ANGLE, f64::tan, "The tangent of an angle in radians: tan(0) is 0.0."),
    of_float!("asin", NUMBER, f64::asin, "The angle in radians that has this sine: asin(0) is 0.0."),
    of_float!("acos", NUMBER, f64::acos, "The angle in radians that has this cosine: acos(1) is 0.0."),
    of_float!("atan", NUMBER, f64::atan, "The angle in radians that has this tangent: atan(0) is 0.0."),
    of_float!("sinh", NUMBER, f64::sinh, "The hyperbolic sine: sinh(0) is 0.0."),
    of_float!("cosh", NUMBER, f64::cosh, "The hyperbolic cosine: cosh(0) is 1.0."),
    of_float!("tanh", NUMBER, f64::tanh, "The hyperbolic tangent: tanh(0) is 0.0."),
    of_float!("asinh", NUMBER, f64::asinh, "The inverse of the hyperbolic sine: asinh(0) is 0.0."),
    of_float!("acosh", NUMBER, f64::acosh, "The inverse of the hyperbolic cosine: acosh(1) is 0.0."),
    of_float!("atanh", NUMBER, inside_one(f64::atanh), "The inverse of the hyperbolic tangent: atanh(0) is 0.0."),
    pure(
        "power",
        &[NUMBER, param("exponent", Type::NUMBER)],
        Type::FLOAT,
        "The number to a power, a float: power(2, 10) is 1024.0.",
        |args| {
            let exponent = float(&args[1]);
            as_float("power", &args[0], |base| base.powf(exponent))
        },
    ),
    pure(
        "fmod",
        &[NUMBER, param("divisor", Type::NUMBER)],
        Type::FLOAT,
        "The remainder of floats, with the sign of the number: fmod(-32, 5) is -2.0.",
        |args| {
            let divisor = float(&args[1]);
            if divisor == 0.0 {
                return Err(Trouble::DivisionByZero);
            }
            as_float("fmod", &args[0], |number| number % divisor)
        },
    ),
];

/// What is infinite at 0 is not defined there.
fn above_zero(apply: fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    move |number| if number > 0.0 { apply(number) } else { f64::NAN }
}

fn inside_one(apply: fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    move |number| if number.abs() < 1.0 { apply(number) } else { f64::NAN }
}
