import ObjectStore
import S3Store
import TestSupport
import Testing

/// A store that has to pass the contract.
struct ContractStore: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let make: @Sendable (TemporaryDirectory) throws -> any ObjectStore

    /// To test another store, add it here and nowhere else.
    static let all: [ContractStore] = [
        ContractStore(testDescription: "file") { scratch in
            try FileStore(location: "file://" + scratch.path + "/store")
        },
        ContractStore(testDescription: "memory") { _ in MemoryStore() },
        ContractStore(testDescription: "SeaweedFS") { _ in
            let server = try SeaweedFS.shared()
            return try S3Store(
                location: server.storeURL(bucket: try server.makeBucket()),
                environment: server.environment)
        },
    ]
}

/// Every store.
@Suite(.tags(.seaweed)) struct StoreContractTests {
    @Test(arguments: ContractStore.all, StoreContract.all)
    func keepsTheContract(_ store: ContractStore, _ part: StoreContract) throws {
        let scratch = try TemporaryDirectory()
        try withExtendedLifetime(scratch) {
            try part.check(try store.make(scratch))
        }
    }
}
