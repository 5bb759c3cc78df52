package import GitProtocol
package import Posix

/// The responder's end of the pre-receive bridge.
///
/// git runs our hook, the hook writes what it read to the channel, and what is answered there
/// decides. Nothing is received without an explicit allow.
package protocol PreReceiveBridge: Sendable {
    /// Serves a channel until its other ends are closed.
    ///
    /// - Returns: the updates that were allowed, in the hook's order; nil if none were, for
    ///   whatever reason.
    func serve(_ channel: consuming OwnedDescriptor) -> [RefUpdate]?
}
