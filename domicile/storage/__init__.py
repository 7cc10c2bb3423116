"""The only door to IPFS: blocks, files, region and border stores."""
