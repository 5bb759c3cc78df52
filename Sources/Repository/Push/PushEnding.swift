package import GitProtocol

/// What became of running receive-pack.
package enum Reception: ~Copyable {
    /// Nothing differs from the parent: all was refused, or there was nothing to do. git's report
    /// says so; there is nothing to publish.
    case unchanged(PushReport)
    case received(ReceivedPush)
}

/// A push that another writer's came before.
package struct LostPush: Sendable {
    /// Its refs, each told `ng` where a report is due.
    package let report: PushReport
    package let cause: Cause

    /// Why it was not tried again.
    package enum Cause: Sendable {
        /// As many swaps were lost as may be tried.
        case attemptsUsedUp
        /// Refs of it moved, and nothing is left that may be published without them.
        case overtaken
        /// The repository was deleted, and perhaps made again.
        case replaced
    }
}
