print("treadle")
