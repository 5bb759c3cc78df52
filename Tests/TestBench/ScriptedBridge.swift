package import Bridge
package import GitProtocol
package import Posix
import Push

/// A bridge that answers as its closure does.
package struct ScriptedBridge: PreReceiveBridge {
    private let body: @Sendable (consuming BridgeChannel) -> [RefUpdate]?

    package init(_ body: @escaping @Sendable (consuming BridgeChannel) -> [RefUpdate]?) {
        self.body = body
    }

    package func serve(_ channel: consuming OwnedDescriptor) -> [RefUpdate]? {
        body(BridgeChannel(channel))
    }
}
