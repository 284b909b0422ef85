//! The macro that declares a list of metrics. A metric's doc comment is its help text, and its name
//! is beside it, once.

/// ```text
/// metrics! { pub struct Metrics {
///     /// Help.
///     field: "name" => Counter,
///     /// Help.
///     field: "name" in Seconds => Histogram = Histogram::new(…),
/// } }
/// ```
macro_rules! metrics {
    (
        $(#[$of_struct:meta])*
        pub struct $Struct:ident {
            $( $(#[doc = $help:literal])+ $field:ident : $name:literal $(in $unit:ident)? => $Type:ty $(= $make:expr)?, )*
        }
    ) => {
        $(#[$of_struct])*
        #[derive(Debug)]
        pub struct $Struct {
            $( $(#[doc = $help])+ pub $field: $Type, )*
        }

        impl Default for $Struct {
            fn default() -> $Struct {
                $Struct { $( $field: metrics!(@make $($make)?), )* }
            }
        }

        impl $Struct {
            /// Registers all metrics.
            fn register(&self, registry: &mut Registry) {
                $(
                    // The crate `prometheus-client` adds the full stop itself.
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    metrics!(@register registry, $name, help, self.$field.clone() $(, $unit)?);
                )*
            }
        }
    };
    (@make) => { Default::default() };
    (@make $make:expr) => { $make };
    (@register $registry:ident, $name:literal, $help:ident, $metric:expr) => {
        $registry.register($name, $help, $metric)
    };
    (@register $registry:ident, $name:literal, $help:ident, $metric:expr, $unit:ident) => {
        $registry.register_with_unit($name, $help, Unit::$unit, $metric)
    };
}

pub(super) use metrics;
