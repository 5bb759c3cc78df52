package import Testing

/// The kinds of tests. `Tests/run --quick` leaves out the suites with ``Tag/slow`` or ``Tag/seaweed``.
extension Tag {
    /// Takes many seconds, or starts whole servers: left out of a quick run.
    @Tag package static var slow: Self
    /// Starts SeaweedFS.
    @Tag package static var seaweed: Self
    /// Starts nginx, Apache or lighttpd.
    @Tag package static var front: Self
    /// Lets threads or processes race, or replays their orders.
    @Tag package static var race: Self
    /// Generates its input at random, from a seed that it prints.
    @Tag package static var fuzz: Self
}
